"""Finding and asking: /search, /identify, /statistics, /export, /section, /profile. Reading only."""
