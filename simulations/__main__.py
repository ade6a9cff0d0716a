"""`python -m simulations`: the command line from a bare working directory."""

import sys

from simulations.cli import main

sys.exit(main())
