"""What carries messages and questions between nodes."""
