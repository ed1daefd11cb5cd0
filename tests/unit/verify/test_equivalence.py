from __future__ import annotations

import pytest

from dapo.verify.equivalence import answer, by_form, equivalent

# Answers that the forms alone have to decide, by the rule that decides them.
EQUAL = [
    # Spelling says nothing.
    ("$\\dfrac{7}{9}$", "7/9"),
    ("\\[ \\tfrac79 \\]", "\\frac{7}{9}"),
    ("\\frac 7 9", "\\cfrac{7}{9}"),
    ("**17**", "17"),
    ("17.", "17"),
    ("\N{MINUS SIGN}17", "-17"),
    ("\\\\frac{7}{9}", "\\frac{7}{9}"),
    (r"\\begin{pmatrix} 4 \\\\ x \\end{pmatrix}", r"\begin{pmatrix} 4 \\ x \end{pmatrix}"),
    ("\x0crac{7}{9}", "\\frac{7}{9}"),
    ("\\left( 4, -1 \\right)", "(4,-1)"),
    ("\\displaystyle 6\\;", "6"),
    ("\N{FULLWIDTH LEFT PARENTHESIS}4, 5\N{FULLWIDTH RIGHT PARENTHESIS}", "(4,5)"),
    ("3\N{VULGAR FRACTION ONE HALF}", "3.5"),
    # Separators of thousands.
    ("21{,}400", "21400"),
    ("21\\,400", "21400"),
    ("21,\\! 400", "21400"),
    ("\\$21,400.00", "21400"),
    # Units and numerals.
    ("21 \\text{ cm}^2", "21"),
    ("21\\mbox{ square feet}", "21"),
    ("21 dollars", "21"),
    ("21 km", "21"),
    ("21^{\\circ}", "21"),
    ("21\N{DEGREE SIGN}", "21^\\circ"),
    ("2.5 \\text{ million}", "2500000"),
    ("3 thousand dollars", "3000"),
    ("7 percent", "7\\%"),
    # Names.
    ("x = 21", "21"),
    ("21 = x", "21"),
    ("f(3) = 21", "21"),
    ("|AB| = 21", "21"),
    ("\\angle ABC = 21^\\circ", "21"),
    ("(a, b) = (4, 5)", "(4, 5)"),
    ("a_1 = 4, a_2 = 5", "a_2 = 5, a_1 = 4"),
    ("a = 4, b = 5", "4, 5"),
    ("x = 7 + 14 = 21", "21"),
    ("7 + 14 = 21", "21"),
    ("x = \\frac{1}{7} \\approx 0.143", "1/7"),
    # Lists and sets have no order, and say nothing twice.
    ("5, 4", "4, 5"),
    ("4 \\text{ and } 5", "\\{5, 4\\}"),
    ("4, 5, or 6", "6; 5; 4"),
    ("\\{4, 4, 5\\}", "\\{4, 5\\}"),
    ("\\pm 4", "-4, 4"),
    ("(1, 2), (3, 4)", "(3, 4), (1, 2)"),
    # Tuples, vectors and matrices.
    ("(0.5, 1)", "(\\frac12, 1)"),
    ("[4, 5, 6]", "(4, 5, 6)"),
    ("4, 5", "(4, 5)"),
    ("\\begin{pmatrix} 4 \\\\ 5 \\end{pmatrix}", "\\begin{bmatrix} 4 \\\\ 5 \\\\ \\end{bmatrix}"),
    ("\\begin{pmatrix} 4 \\\\ 5 \\end{pmatrix}", "(4, 5)"),
    ("\\langle 4, 5 \\rangle", "(4, 5)"),
    # Intervals.
    ("x \\in [4, \\infty)", "[4, +\\infty)"),
    ("x \\ge 4", "[4, \\infty)"),
    ("4 <= x", "x \\geqslant 4"),
    ("9 > x \\geq 4", "[4, 9)"),
    ("(5,6] \\cup (1,2)", "(1,2) \\cup (5,6]"),
    ("x < 1 or x > 3", "(-\\infty, 1) \\cup (3, \\infty)"),
    ("g(9) > g(1)>g(4)", "g(4) < g(1) < g(9)"),
    # Words, numerals of another base, ratios.
    ("\\text{ Sunday}", "sunday"),
    ("\\textbf{(D)}", "D"),
    ("no solution", "\\text{No solution}"),
    ("312_{4}", "312_4"),
    ("3 : 5", "3:5"),
    ("a:b = 3:5", "3:5"),
]

DIFFERENT = [
    ("17", "-17"),
    ("17", "17.01"),
    ("17, 18", "1718"),
    ("(17, 18)", "17"),
    ("(3,456)", "3456"),
    ("(4, 5)", "(5, 4)"),
    ("(5, 4)", "4, 5"),
    ("[4, 5]", "(4, 5)"),
    ("4, 5", "[4, 5]"),
    ("[4, 5)", "(4, 5]"),
    ("\\{4, 5\\}", "\\{4, 5, 6\\}"),
    ("4, 5", "4, 6"),
    ("a_1 = 5, a_2 = 4", "a_1 = 4, a_2 = 5"),
    ("a = 5, b = 4", "4, 5"),
    ("x = 4", "y = 4"),
    ("x > 4", "x \\ge 4"),
    ("x > 4", "x < 4"),
    ("g(9) > g(1) > g(4)", "g(9) > g(4) > g(1)"),
    ("\\begin{pmatrix} 4 \\\\ 5 \\end{pmatrix}", "\\begin{pmatrix} 5 \\\\ 4 \\end{pmatrix}"),
    ("\\begin{pmatrix} 4 & 5 \\end{pmatrix}", "\\begin{pmatrix} 4 \\\\ 5 \\end{pmatrix}"),
    # Computer algebra would multiply the letters.
    ("east", "seat"),
    ("\\text{odd}", "even"),
    ("a", "A"),
    ("312_4", "312_5"),
    ("12:00", "1:00"),
    ("6:10", "3:50"),
    ("2.5 million", "2.5"),
]


@pytest.mark.parametrize(("one", "gold"), EQUAL)
def test_forms_find_answers_equal(one: str, gold: str) -> None:
    first, second = answer(one), answer(gold)
    assert by_form(first.form, second.form) is by_form(second.form, first.form) is True
    assert equivalent(first, second)


@pytest.mark.parametrize(("one", "gold"), DIFFERENT)
def test_forms_tell_answers_apart(one: str, gold: str) -> None:
    first, second = answer(one), answer(gold)
    assert by_form(first.form, second.form) is by_form(second.form, first.form) is False
    assert not equivalent(first, second)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("$\\frac{6}{8}$", "3/4"),
        ("0.75", "3/4"),
        ("75\\%", "75"),
        ("x = 6", "6"),
        ("\\{3, 1, 2\\}", "{1, 2, 3}"),
        ("\\left[ 1, \\infty \\right)", "[1, oo)"),
        ("\\text{North}", "north"),
        ("x^2 + 1", "x^2+1"),
    ],
)
def test_the_normal_form_is_one_text(text: str, form: str) -> None:
    assert str(answer(text)) == form


@pytest.mark.parametrize(
    ("one", "gold"),
    [
        ("2(x+3)", "2x + 6"),
        ("\\frac{\\pi}{6}", "\\frac16 \\pi"),
        ("3**(1/2)", "\\sqrt{3}"),
        ("(7*sqrt(2))/3", "\\frac{7\\sqrt{2}}{3}"),
        ("(\\frac{\\pi}{3}, 2)", "(\\pi/3, 2)"),
        ("2 + \\sqrt{7}, 2 - \\sqrt{7}", "2 \\pm \\sqrt{7}"),
        ("(1 + i)(2 - i)", "3 + i"),
        ("\\cos(60^\\circ)", "\\frac12"),
        ("y = 2x + 2", "2x - y + 2 = 0"),
        ("4!", "24"),
        ("\\binom{6}{2}", "15"),
    ],
)
def test_algebra_finds_formulas_equal(one: str, gold: str) -> None:
    assert by_form(answer(one).form, answer(gold).form) is not False
    assert equivalent(answer(one), answer(gold))


@pytest.mark.parametrize(
    ("one", "gold"),
    [
        ("2(x+3)", "2x + 5"),
        ("\\frac{\\pi}{6}", "\\frac{\\pi}{5}"),
        ("1 + \\sqrt{7}, 2 - \\sqrt{7}", "2 \\pm \\sqrt{7}"),
        ("-p = 3, q = 2", "p = 3, q = 2"),
        ("(x, x+1)", "(x+1, x)"),
        ("3 squared", "3"),
        ("3 \\text{ squared}", "3"),
        ("2 hours 30 minutes", "2"),
    ],
)
def test_algebra_tells_formulas_apart(one: str, gold: str) -> None:
    assert not equivalent(answer(one), answer(gold))
