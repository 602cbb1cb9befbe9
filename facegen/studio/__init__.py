"""The studio: a trained generator in the browser, on this computer alone.

`state` knows what can be asked and what comes of it, `page` shows it, `server` serves it.
"""
