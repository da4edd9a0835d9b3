"""What people ask of the map, without a server: reading what they type, geometry of sections and profiles."""
