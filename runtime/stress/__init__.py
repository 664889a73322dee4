"""Tries to make a real server give a wrong answer or leave its memory limit."""
