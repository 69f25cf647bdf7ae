"""`make mutate`: runs the campaign, which is a module of its own because workers import it."""

import os
import sys

os.environ |= {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}

import campaign

sys.exit(campaign.main())
