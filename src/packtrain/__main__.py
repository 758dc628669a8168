"""python -m packtrain → cli"""

from packtrain.cli import entry

if __name__ == "__main__":
    entry()
