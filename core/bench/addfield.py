# SPDX-License-Identifier: Apache-2.0

"""The filter of milter.go as most people would write one: with pymilter, which
binds libmilter. It serves the socket that is its argument."""
import sys

import Milter


class AddField(Milter.Base):
    def eom(self):
        self.addheader("X-Milter", "seen")
        return Milter.ACCEPT


Milter.factory = AddField
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter("bench", sys.argv[1], 60)
