"""The mathematics of sampling and estimation: pure functions over NumPy arrays.

Who is labelled, with what probability, and what may be said afterwards is decided by formulas, and formulas
are easiest to trust when nothing else happens around them. So this package has no I/O, no clock, no global
randomness and no dependency but NumPy and SciPy; chance comes in as permanent random numbers, `u`.

    checks      bad input at the door, and the errors
    prn         keys, permanent random numbers, folds
    keyed_hash  the hash under them, without NumPy
    risk        P(the machine is wrong), from few labels
    flips       changing labels where that provably pays
    rules       inclusion probabilities for a budget
    draws       from probabilities to a sample
    designs     what a wave's sample stands for
    intervals   bounds that hold
    estimates   accuracy with its interval
    shares      class shares, of these items and of the process
    domains     the same for a class or a slice
    agreement   doubles: κ, α, and a bound on error against the truth
    reviewers   each reviewer's rate of mistakes on gold tasks
    quote       what a budget would buy
    training    targets and weights of the ACT loss
    quality     AQG, ABS, AUROC, calibration of a list of items
    budget_score  AQG and ABS from a reviewed sample

Notation of the docstrings: N items; y the human's label, ŷ the machine's; d = 1[y ≠ ŷ]; ε = predicted P(d =
    1), the
risk; π inclusion probability; B budget in labels; s size measure of a draw; g weight of a labelled item.
Bad input raises ValueError that says what was expected and what came; nothing is clipped silently.
"""
