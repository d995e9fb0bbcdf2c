# SPDX-License-Identifier: Apache-2.0
# Copyright The libwm authors
"""C, as far as the operations need it: tokens, statements, expressions.

A position is the index of a token. A span is a pair of positions, the second
behind the last token. Comments and directives are no tokens.
"""

import bisect
import re

MARKER = re.compile(r"/\*\s*Safeguard:\s*(.*?)\s*\*/", re.DOTALL)
TOKEN = re.compile(r"""
    (?P<space> \s+ | /\*.*?\*/ | //[^\n]* | ^[ \t]*\#(?:\\\n|[^\n])* )
  | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
  | [A-Za-z_0-9][\w.]*
  | <<= | >>= | && | \|\| | -> | \+\+ | -- | << | >> | [-+*/%&|^=!<>]=
  | .
""", re.VERBOSE | re.DOTALL | re.MULTILINE)
CLOSING = {"(": ")", "[": "]", "{": "}"}
ASSIGNMENTS = {"=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=",
               ">>="}


class Unfit(Exception):
    """What follows a marker is not what its operation wants."""


class Source:
    """A file of C, and where its tokens begin and end."""

    def __init__(self, text):
        self.text = text
        self.tokens, self.begins, self.ends, self.directives = [], [], [], []
        for match in TOKEN.finditer(text):
            if not match["space"]:
                self.tokens.append(match[0])
                self.begins.append(match.start())
                self.ends.append(match.end())
            elif match[0].lstrip().startswith("#"):
                self.directives.append(match[0])

    def markers(self):
        """Their names, with the position of what follows, and the line."""
        for match in MARKER.finditer(self.text):
            at = bisect.bisect(self.begins, match.end())
            yield match[1], at, self.text.count("\n", 0, match.start()) + 1

    def slice(self, span):
        return self.text[self.begins[span[0]]:self.ends[span[1] - 1]]

    def closing(self, at):
        """Where the parenthesis, bracket or brace that opens here closes."""
        depth = 0
        for i in range(at, len(self.tokens)):
            depth += self.tokens[i] in CLOSING
            depth -= self.tokens[i] in CLOSING.values()
            if depth == 0:
                return i
        raise Unfit(f"nothing closes this {self.tokens[at]}")

    def top_level(self, span):
        """The positions of a span that lie within no parentheses of it."""
        at = span[0]
        while at < span[1]:
            yield at
            at = self.closing(at) if self.tokens[at] in CLOSING else at
            at += 1

    def split(self, span, separator):
        """The spans between the separators."""
        parts, begin = [], span[0]
        for at in self.top_level(span):
            if self.tokens[at] == separator:
                parts.append((begin, at))
                begin = at + 1
        return [*parts, (begin, span[1])]

    # --- statements -----------------------------------------------------------

    def is_label(self, colon):
        at = colon - 1
        while self.tokens[at] not in (";", "{", "}"):
            at -= 1
        return self.tokens[at + 1] in ("case", "default")

    def is_statement(self, at):
        before = self.tokens[at - 1]
        return before in ("{", "}", ";", "else") or (
            before == ":" and self.is_label(at - 1))

    def statement(self, at):
        """The span of the statement that begins here."""
        token = self.tokens[at]
        if token == "{":
            return at, self.closing(at) + 1
        if token in ("if", "while", "for", "switch"):
            end = self.statement(self.closing(at + 1) + 1)[1]
            if token == "if" and self.tokens[end] == "else":
                end = self.statement(end + 1)[1]
            return at, end
        if token == "do":
            end = self.statement(at + 1)[1]
            return at, self.closing(end + 1) + 2
        for i in self.top_level((at, len(self.tokens))):
            if self.tokens[i] == ";" or (
                    token in ("case", "default") and self.tokens[i] == ":"):
                return at, i + 1
        raise Unfit("this is no statement")

    def block(self, at):
        """The statements of the block that this one is of."""
        depth = 0
        begin = at
        while depth >= 0:
            begin -= 1
            depth += self.tokens[begin] == "}"
            depth -= self.tokens[begin] == "{"
        found = []
        begin += 1
        while self.tokens[begin] != "}":
            found.append(self.statement(begin))
            begin = found[-1][1]
        return found

    # --- expressions ----------------------------------------------------------

    def expression(self, at):
        """A condition; what is returned, assigned or called; an operand."""
        if not self.is_statement(at):
            return self.operand(at)
        begin, end = self.statement(at)
        token = self.tokens[at]
        if token in ("if", "while", "switch"):
            return at + 2, self.closing(at + 1)
        if token == "do":
            last = self.statement(at + 1)[1]
            return last + 2, self.closing(last + 1)
        if token == "return":
            return at + 1, end - 1
        if token in ("for", "case", "default", "{"):
            raise Unfit(f"a {token} is no expression")
        if len(self.split((begin, end), ",")) > 1:
            raise Unfit("it declares more than one variable")
        for i in self.top_level((begin, end)):
            if self.tokens[i] in ASSIGNMENTS:
                return i + 1, end - 1
        return begin, end - 1

    def operand(self, at):
        """From here to the next && or ||, or to the end of the expression."""
        end = at
        while self.tokens[end] not in ("&&", "||", "?", ":", ";", ",", ")"):
            end = self.closing(end) if self.tokens[end] in CLOSING else end
            end += 1
        return at, end

    def operands(self, span):
        """Of its && or ||, whichever binds less, and which of them that is."""
        if any(self.tokens[at] == "?" for at in self.top_level(span)):
            raise Unfit("it has a ?, and no operands")
        operator = "||" if len(self.split(span, "||")) > 1 else "&&"
        return self.split(span, operator), operator

    # --- functions ------------------------------------------------------------

    def functions(self):
        """Their names and bodies."""
        for at in self.top_level((0, len(self.tokens))):
            if self.tokens[at] == "{" and self.tokens[at - 1] == ")":
                name = at
                while self.tokens[name] != "(" or self.closing(name) != at - 1:
                    name -= 1
                yield self.tokens[name - 1], (at, self.closing(at) + 1)
