"""Accounts, funds, bonds, votes and rewards for the command line. Nothing in here loads a tensor library."""
