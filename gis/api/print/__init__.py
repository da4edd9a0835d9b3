"""Maps on paper and as images over HTTP: /print and /image. Drawing is gis.print."""
