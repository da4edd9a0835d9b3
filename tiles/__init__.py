"""Vector tiles and styles: from z/x/y to bytes, without HTTP."""
