"""What people do with policies besides judging files: write one out, test it, compare two, draft one from files. Nothing here decides about a file."""
