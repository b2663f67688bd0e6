"""The mathematics of sampling and estimation: pure functions over NumPy arrays.

Who is labelled, with what probability, and what may be said afterwards is decided by formulas, and formulas
are easiest to trust when nothing else happens around them. So this package has no I/O, no clock, no global
randomness and no dependency but NumPy and SciPy; chance comes in as permanent random numbers, `u`.

    checks      bad input at the door, and the errors
    prn         keys, permanent random numbers, folds
    keyed_hash  the hash under them, without NumPy
    risk        P(the machine is wrong), from few labels
    isotonic    the same as a rising function of one score
    trees       the same by boosted trees that were grown elsewhere
    choice      which of them, and fitted on what
    worth       whether a critic is better than chance, whenever one looks
    flips       changing labels where that provably pays
    rules       inclusion probabilities for a budget: those of the ACT paper
    robust      those that serve estimates too: square root, hybrid, Lagrange
    tuning      which γ of theirs a pilot asks for
    weighing    any of these rules by its name and parameters, and the size measures of its draw
    budgets     what an aim costs, and how strata share a budget
    draws       from probabilities to a sample
    placing     what a phase's sample stands for, wherever people stopped
    designs     how phases are combined, and the weight of every label
    words       whole numbers for floats: an order to count, sums that no order changes
    orders      who comes first, as columns of a chunk
    streams     selections from more items than memory holds
    firsts      the same in one pass, where the sample fits memory
    families    probabilities that rise with one constant
    levels      that constant for a budget, from chunks
    streamed_weighing  any rule's size measures from chunks
    streamed_hybrid  the hybrid rule from chunks, drawn without its constant
    hypergeometric  exact tails, whatever the size of the population
    intervals   bounds that hold
    anytime     bounds that may be watched
    certificates    what is fixed before an audit: cuts, looks, levels
    audits      what an audit found, and what it proves
    estimates   accuracy with its interval
    shares      class shares, of these items and of the process
    domains     the same for a class or a slice
    agreement   doubles: κ, α, and a bound on error against the truth
    reviewers   each reviewer's rate of mistakes on gold tasks
    quote       what a budget would buy
    quote_answers  what an accuracy costs, read off that
    assumed     machines and critics as they may be, before any label
    prior_quote what a budget would buy from them
    training    targets and weights of the ACT loss
    quality     AUROC and calibration of a critic
    budget_score  AQG and ABS: what it gains with a budget
    calibration how sure one may be of AUROC and calibration

Notation of the docstrings: N items; y the human's label, ŷ the machine's; d = 1[y ≠ ŷ]; ε = predicted
P(d = 1), the risk; π inclusion probability; c cost of a label, 1 unless given; B budget in labels, or in the
unit of costs; s size measure of a draw; g weight of a labelled item.
Bad input raises ValueError that says what was expected and what came; nothing is clipped silently.
"""
