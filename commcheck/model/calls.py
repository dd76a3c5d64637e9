"""The words for calls between ranks: which there are, on which types, reduced how."""

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
REDUCTIONS = ("sum", "max", "min", "product")
REDUCING = ("all_reduce", "reduce_scatter")
COLLECTIVES = (*REDUCING, "broadcast", "all_gather", "all_to_all", "send_recv", "barrier")
