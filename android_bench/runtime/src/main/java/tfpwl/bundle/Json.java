package tfpwl.bundle;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.CodingErrorAction;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tfpwl.BundleException;

/**
 * A strict JSON parser (RFC 8259) that takes what Python's takes: no duplicate keys, no NaN, nothing behind the value.
 *
 * <p>Android's {@code org.json} is no choice here: it takes single quotes, comments, unquoted keys and duplicate keys,
 * so that a manifest could mean one thing to {@code tfpwl verify} and another one to the app.
 *
 * <p>Objects become {@code Map<String, Object>}, arrays {@code List<Object>}, whole numbers {@link Long} or
 * {@link BigInteger}, other numbers {@link Double}.
 */
final class Json {
    /** Manifests are five levels deep; the limit keeps a hostile one from using up the stack. */
    private static final int MAX_DEPTH = 100;

    /** As in Python: converting many more digits takes time that grows with their square. */
    private static final int MAX_DIGITS = 4300;

    private final CharSequence text;
    private final Document document;
    private int at;
    private int depth;

    private Json(CharSequence text, Document document) {
        this.text = text;
        this.document = document;
    }

    /**
     * The root of a document.
     *
     * @throws BundleException the document's error, when it has more than {@code maxBytes} bytes, is not UTF-8 or not
     *     JSON
     */
    static Node parse(byte[] data, int maxBytes, Document document) {
        if (data.length > maxBytes) {
            throw document.broken(" has " + data.length + " bytes; at most " + maxBytes + " are read.", null);
        }
        CharBuffer text;
        try {
            text = Charset.forName("UTF-8").newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(data));
        } catch (CharacterCodingException exc) {
            throw document.broken(" is not UTF-8; " + document.again + ".", exc);
        }
        Json parser = new Json(text, document);
        Object value = parser.value();
        parser.space();
        if (parser.at != text.length()) {
            throw parser.broken("extra data");
        }
        return new Node(value, "", document);
    }

    private BundleException broken(String what) {
        return document.broken(" is not valid JSON: " + what + " at character " + at + ".", null);
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        space();
        if (at >= text.length()) {
            throw broken("the end came too early");
        }
        return text.charAt(at);
    }

    private void expect(char wanted) {
        if (peek() != wanted) {
            throw broken("expected '" + wanted + "'");
        }
        at++;
    }

    private Object value() {
        char next = peek();
        if (next == '{' || next == '[') {
            if (++depth > MAX_DEPTH) {
                throw broken("more than " + MAX_DEPTH + " levels");
            }
            Object found = next == '{' ? object() : array();
            depth--;
            return found;
        }
        if (next == '"') {
            return string();
        }
        if (next == '-' || isDigit(next)) {
            return number();
        }
        if (word("true")) {
            return Boolean.TRUE;
        }
        if (word("false")) {
            return Boolean.FALSE;
        }
        if (word("null")) {
            return null;
        }
        throw broken("expected a value");
    }

    private boolean word(String word) {
        int end = at + word.length();
        if (end > text.length() || !word.contentEquals(text.subSequence(at, end))) {
            return false;
        }
        at = end;
        return true;
    }

    private Map<String, Object> object() {
        Map<String, Object> found = new LinkedHashMap<String, Object>();
        expect('{');
        if (peek() == '}') {
            at++;
            return found;
        }
        while (true) {
            if (peek() != '"') {
                throw broken("expected a key in double quotes");
            }
            String key = string();
            if (found.containsKey(key)) {
                throw document.broken(" has the key '" + Node.shorten(key)
                        + "' twice in one object; each key may stand once.", null);
            }
            expect(':');
            found.put(key, value());
            if (peek() == '}') {
                at++;
                return found;
            }
            expect(',');
        }
    }

    private List<Object> array() {
        List<Object> found = new ArrayList<Object>();
        expect('[');
        if (peek() == ']') {
            at++;
            return found;
        }
        while (true) {
            found.add(value());
            if (peek() == ']') {
                at++;
                return found;
            }
            expect(',');
        }
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        for (at++; at < text.length(); at++) {
            char c = text.charAt(at);
            if (c == '"') {
                at++;
                return found.toString();
            }
            if (c < ' ') {
                throw broken("a control character in a string");
            }
            found.append(c == '\\' ? escaped() : c);
        }
        throw broken("a string without end");
    }

    /** The character that the escape at {@code at} stands for; leaves {@code at} on the escape's last character. */
    private char escaped() {
        at++;
        if (at < text.length()) {
            char c = text.charAt(at);
            int plain = "\"\\/bfnrt".indexOf(c);
            if (plain >= 0) {
                return "\"\\/\b\f\n\r\t".charAt(plain);
            }
            if (c == 'u' && at + 4 < text.length()) {
                int code = 0;
                for (int i = 1; i <= 4; i++) {
                    int digit = "0123456789abcdef".indexOf(lower(text.charAt(at + i)));
                    if (digit < 0) {
                        throw broken("a broken escape");
                    }
                    code = code * 16 + digit;
                }
                at += 4;
                return (char) code;
            }
        }
        throw broken("a broken escape");
    }

    private static char lower(char c) {
        return c >= 'A' && c <= 'F' ? (char) (c - 'A' + 'a') : c;
    }

    private Object number() {
        int start = at;
        if (text.charAt(at) == '-') {
            at++;
        }
        int whole = at;
        digits();
        if (at - whole > 1 && text.charAt(whole) == '0') {
            throw broken("a number that begins with 0");
        }
        int end = at;
        if (at < text.length() && text.charAt(at) == '.') {
            at++;
            digits();
        }
        if (at < text.length() && (text.charAt(at) == 'e' || text.charAt(at) == 'E')) {
            at++;
            if (at < text.length() && (text.charAt(at) == '+' || text.charAt(at) == '-')) {
                at++;
            }
            digits();
        }
        String token = text.subSequence(start, at).toString();
        if (at > end) {
            return Double.valueOf(token);
        }
        if (end - whole > MAX_DIGITS) {
            throw broken("a number of more than " + MAX_DIGITS + " digits");
        }
        BigInteger number = new BigInteger(token);
        return number.bitLength() < 64 ? (Object) number.longValue() : number;
    }

    private void digits() {
        int start = at;
        while (at < text.length() && isDigit(text.charAt(at))) {
            at++;
        }
        if (at == start) {
            throw broken("expected a digit");
        }
    }

    private static boolean isDigit(char c) {
        return c >= '0' && c <= '9';
    }
}
