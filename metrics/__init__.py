"""Make bars of any kind out of trades and book samples; pure, without files or a clock."""
