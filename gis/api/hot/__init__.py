"""The hot path: items, one item and tiles for anyone, with a hundredth of the Python of the way around.

``front.Front`` stands before the application. What it knows it answers by itself, byte for byte and header
for header as the application does (tests/api/test_hot.py compares them); everything else, and whatever is not
quite as expected, goes on to the application: a login, a parameter that is not simple, an error. So what is
right is said by the application alone, and the hot path only says it sooner.
"""
