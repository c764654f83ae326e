import warnings


# Sacred's, whose modules are imported after this
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
