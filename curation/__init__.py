"""Web-scale text into quality tiers for language-model pretraining, on Dask.

Folders are the architecture; each may import only from those below it::

    training                         annotations → classifiers
    execution                        the only part that knows Dask
    stages                           score, bucket, ensemble, tier: each adds columns to a frame
    calibration                      scores of a whole corpus → thresholds
    classifiers                      one file is one kind of classifier
    inference                        texts → model outputs
    data                             files in, files out
    config, statistics, core         contracts
"""

__version__ = "0.1.0"
