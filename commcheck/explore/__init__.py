"""Search the space of configurations with real worlds: what works here, what does not, and which settings decide.

The core is pure: `search` asks for rows and is told how their worlds went, `oracle` says what a world should have done,
`region` sums up. What may not be here: judgement of a single world (that is diagnose's), hypothesis, torch.

search      which worlds to run next, from what the last ones showed
oracle      the five properties of a world, and the prediction against what it did
worlds      run configurations as real worlds, several at once (effects)
drive       a search with its budget: seconds or worlds (effects)
findings    what was found, as values
region      which settings work, which fail, which were not tried
to_text, to_html, picture    the result for a person
"""
