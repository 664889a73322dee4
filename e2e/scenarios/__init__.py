"""What must hold on a real cluster: real objects, real pods, real HTTP."""
