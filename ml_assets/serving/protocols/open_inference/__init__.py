"""The Open Inference Protocol, version 2: tensors, as Triton and KServe have them."""
