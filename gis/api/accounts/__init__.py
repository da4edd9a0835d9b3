"""Logins and the management of accounts over HTTP.

``door`` the database side (role bandoso_door) · ``basic`` passwords and their throttle · ``oidc`` JWTs of the
city's provider · ``origin`` no writing by other sites' pages · ``routes`` /accounts · ``own`` /me ·
``openapi`` what /api says of them. Who asks is found out by gis.api.auth.
"""
