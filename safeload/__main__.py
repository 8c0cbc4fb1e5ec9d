"""`python -m safeload`: the command line where the console script is not on the path."""

from safeload.cli import program

if __name__ == "__main__":
    program()
