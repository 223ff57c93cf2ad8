"""The program: built, packaged, loaded again."""
