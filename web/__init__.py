"""The web application: health, metrics, provider callbacks, signed pictures and the gallery."""
