"""A `Report` as text for people, JSON by the published schema, or JUnit XML.

What may not be here: effects (each renderer is a function to a string), or a judgement that the report does not hold.
"""
