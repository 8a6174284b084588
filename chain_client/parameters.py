"""The numbers that governance may change, as the pallet has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything that governance may tune. Lengths of phases are in blocks and count from the next phase on."""

    commit_blocks: int  # Blocks of the commit phase
    reveal_blocks: int  # Blocks of the reveal phase
    epoch_blocks: int  # Blocks of a whole epoch, at least: it does not end before it is finalised
    idle_steps: int  # Steps of finalising that an idle block runs by itself
    review_epochs: int  # Epochs between two reviews of the weights
    vote_reviews: int  # Reviews that a vote counts in without being confirmed
    min_vote: int  # Least lock of a vote
    vote_unlock_epochs: int  # Epochs from taking a vote back to the release of its lock
    voter_cap: int  # Greatest share of one voter in the counted stake, in basis points
    vote_quorum: int  # Share of the locked stake that must be counted, in basis points
    weight_step: int  # Greatest move of a weight in one review, in parts per million
    assigned: int  # Validators that are assigned to a subject when there are more than `assign_all_up_to`
    assign_all_up_to: int  # Number of validators up to which all are assigned to everything
    validator_cap: int  # Greatest share of one validator in a median, in basis points, where there are enough of them
    tolerance: int  # Relative distance from the medians at which a validator earns nothing, in basis points
    bondless_start: int  # Part of the measured capacity that is paid without a bond at first, in basis points
    bondless_step: int  # What each clean epoch adds to it, in basis points
    bondless_max: int  # Where it ends, in basis points
    bond_per_unit: int  # Bond that one more paid unit needs
    withheld_epochs: int  # Epochs for which a bondless provider's pay is withheld
    # Epochs from unbonding to withdrawing. Longer than `dispute_epochs` and `slash_delay` together, by three
    unbonding_epochs: int
    dispute_epochs: int  # Epochs in which a dispute can be judged
    slash_delay: int  # Epochs from a slash's decision to its application
    jail_epochs: int  # Epochs for which the slashed are out
    equivocation_slash: int  # Part of the bond that equivocation costs, in basis points
    hidden_row_slash: int  # Part of the bond that a hidden row costs, in basis points
    reproduced_slash: int  # Part of the bond that a reproduced failure costs, in basis points
    reporter_share: int  # Reporter's part of a slash, in basis points
    incident_cap: int  # Greatest part of a bond that one incident costs, in basis points
    day_cap: int  # The same for a day
    month_cap: int  # The same for a month
    day_epochs: int  # Epochs in a day. A month has thirty days
    # Slashes per epoch that count as usual at least: the breaker stops them at three times the usual
    breaker_floor: int
    class_hold: int  # Reproduced failures of one kernel class in one epoch from which governance must decide
    subject_deposit: int  # Held for a registered provider, validator or member
    model_deposit: int  # Held for a registered model
    key_deposit: int  # Held for a node key
    dispute_deposit: int  # Held for an opened dispute
    max_binding_seconds: int  # Longest time for which a binding may hold, in seconds
    emission: int  # Emission of one epoch before the first halving
    halving_epochs: int  # Epochs between two halvings
    max_supply: int  # Supply that emission never passes
