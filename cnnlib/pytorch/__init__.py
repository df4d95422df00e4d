"""The part of cnnlib that imports torch; ``import cnnlib`` never does."""
