"""Maps on paper: a PDF at a true scale, and the same map as an image. Pure drawing over given rows.

``order`` says what is wanted, ``sheet`` where things lie on the page, ``reading`` what is asked of the
database, ``symbols`` and ``expressions`` what the layers' MapLibre styles mean for a feature, ``shapes`` and
``drawing`` make paths of features, ``pictures`` reads raster layers, ``labels`` places texts, ``grid`` and
``furniture`` draw what is around the map, ``pdf`` and ``fonts`` write the file, ``make`` does it all,
``raster`` makes an image of it.

Lengths on the page are in units of 0.01 mm (``UNIT``), from the lower left corner: coordinates are integers,
and a metre on the ground is exactly 100 000 / scale of them.
"""

#: Units in a millimetre of paper.
UNIT = 100
