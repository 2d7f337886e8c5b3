"""What an attacker would try, and that it does not work: one file a section of the threat model."""
