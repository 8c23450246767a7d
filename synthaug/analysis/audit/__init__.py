"""What a published table can show."""
