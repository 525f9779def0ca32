"""A soak: a whole service under load while random things break around it, and the one judge at the end.

``make soak ARGS="--minutes 10 --exports 20 --seed 7"``. It stands on services of its own, so nobody else notices.
"""
