"""Replays: history lived again under several policies, side by side."""
