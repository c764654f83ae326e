"""Does a reward model rank models as people do? Its win rates against the expected ones, before and after."""
