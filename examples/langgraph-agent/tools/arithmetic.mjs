// sum     = product { ("+" | "-") product }
// product = unary { ("*" | "/" | "%") unary }
// unary   = "-" unary | power
// power   = primary [ "^" unary ]        so that 2^3^2 is 2^9, -2^2 is -4 and 2^-1 is 0.5
// primary = number | "(" sum ")"

// Bounds the depth of the recursion too.
const MAX_LENGTH = 200;
const TOKEN = /\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+|[-+*/%^()])/y;

/**
 * The value of an arithmetic expression such as `12 * (3 + 4)`.
 * @throws {Error} naming what is wrong and at which character, counted from 1
 */
export function evaluate(expression) {
  if (expression.length > MAX_LENGTH) {
    throw new Error(`The expression has ${expression.length} characters, at most ${MAX_LENGTH} are allowed.`);
  }
  const tokens = tokenize(expression);
  let next = 0;

  const peek = () => tokens[next].text;
  const takeIf = (...texts) => texts.includes(peek()) && tokens[next++];
  const expected = (what) => {
    const { text, position } = tokens[next];
    return new Error(`Expected ${what} at character ${position}, found ${text ? `"${text}"` : 'the end'}.`);
  };

  function sum() {
    let value = product();
    for (let operator = takeIf('+', '-'); operator; operator = takeIf('+', '-')) {
      const right = product();
      value = operator.text === '+' ? value + right : value - right;
    }
    return value;
  }

  function product() {
    let value = unary();
    for (let operator = takeIf('*', '/', '%'); operator; operator = takeIf('*', '/', '%')) {
      const right = unary();
      if (operator.text === '*') {
        value *= right;
        continue;
      }
      if (right === 0) throw new Error(`Division by zero at character ${operator.position}.`);
      value = operator.text === '/' ? value / right : value % right;
    }
    return value;
  }

  function unary() {
    return takeIf('-') ? -unary() : power();
  }

  function power() {
    const base = primary();
    return takeIf('^') ? base ** unary() : base;
  }

  function primary() {
    if (takeIf('(')) {
      const value = sum();
      if (!takeIf(')')) throw expected('")"');
      return value;
    }
    if (!/[0-9]/.test(peek())) throw expected('a number or "("');
    return Number(tokens[next++].text);
  }

  const value = sum();
  if (peek()) throw expected('an operator');
  if (!Number.isFinite(value)) throw new Error('The result is not a finite real number.');
  return tidy(value);
}

function tokenize(expression) {
  const tokens = [];
  const end = expression.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const start = TOKEN.lastIndex;
    const match = TOKEN.exec(expression);
    if (!match) {
      const position = start + expression.slice(start).search(/\S/);
      throw new Error(`Unexpected "${expression[position]}" at character ${position + 1}.`);
    }
    tokens.push({ text: match[1], position: TOKEN.lastIndex - match[1].length + 1 });
  }
  tokens.push({ text: '', position: end + 1 });
  return tokens;
}

// 0.1 + 0.2 is 0.3 to the person who asked; 15 digits are what a double holds safely. Integers stay exact.
// Adding 0 turns -0 into 0.
function tidy(value) {
  return (Number.isInteger(value) ? value : Number(value.toPrecision(15))) + 0;
}
