"""The commands of the command line, a module for each; main.py imports only the one that it runs."""
