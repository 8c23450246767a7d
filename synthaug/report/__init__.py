"""The command `report`: one module per question."""
