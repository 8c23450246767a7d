"""What the command `report` answers: a module for each first word, with its options."""
