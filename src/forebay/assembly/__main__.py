"""`python -m forebay.assembly`: the process that is a node."""

import gc
import sys

# What is loaded now stays: to look for garbage meanwhile only makes the start longer. `serve` lets
# the collector work again.
gc.disable()

from forebay.assembly.node import main  # noqa: E402 - see above

sys.exit(main(sys.argv[1:]))
