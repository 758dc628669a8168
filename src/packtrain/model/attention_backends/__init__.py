"""q, k, v, layout → (out, lse);  dout → (dq, dk, dv): one file a kernel, each with the same three functions"""
