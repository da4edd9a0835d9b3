"""What lies in the ground, and how near it comes to other things: the base of rules XLY."""
