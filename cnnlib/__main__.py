"""``python -m cnnlib train | finetune | evaluate | predict | summary | bench``."""

import sys

from cnnlib._cli import main

if __name__ == "__main__":
    sys.exit(main())
