"""SynthAgent: tool-use tasks as small executable worlds, agents that practise on them, rewards that can be trusted."""

__version__ = "0.1.0"
