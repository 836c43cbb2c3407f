"""`python -m datasets_prep.build`: the same command as `mihatp prepare`, without the rest of MiHATP."""

import sys

from datasets_prep.command import main

if __name__ == "__main__":
    sys.exit(main())
