"""A fuzzer of the command line: seeded cases, each run in a process of its own, judged by what every run must keep to.

``cases.py`` draws a case by kind and number, from seeds (``seeds.py``) and mutations of models, data and texts;
``forks.py`` runs it, ``judge.py`` says what was wrong with the run, ``faults.py`` has bugs that must be found.
"""
