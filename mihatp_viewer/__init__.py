"""`mihatp view`: slides and pictures of different scale in one viewport, in the browser.

It stands beside the other packages and imports no torch, so that it starts at once.
"""
