package tfpwl.bundle;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import tfpwl.ContractException;

/** The text file of class names: UTF-8, one per line. */
final class Labels {
    /** Where Python's {@code str.splitlines} ends a line, which is how the other side reads the same file. */
    private static final String BREAKS = "\n\r\u000b\f\u001c\u001d\u001e\u0085\u2028\u2029";

    private Labels() {
    }

    static List<String> parse(String where, byte[] data, int expected) {
        String text;
        try {
            text = Charset.forName("UTF-8").newDecoder().decode(ByteBuffer.wrap(data)).toString();
        } catch (CharacterCodingException exc) {
            throw new ContractException(where + ": not UTF-8. Write one class name per line.", exc);
        }
        List<String> lines = new ArrayList<String>();
        int start = 0;
        for (int i = 0; i < text.length(); i++) {
            if (BREAKS.indexOf(text.charAt(i)) >= 0) {
                lines.add(text.substring(start, i));
                if (text.charAt(i) == '\r' && i + 1 < text.length() && text.charAt(i + 1) == '\n') {
                    i++;
                }
                start = i + 1;
            }
        }
        if (start < text.length()) {
            lines.add(text.substring(start));
        }
        if (lines.size() != expected) {
            throw new ContractException(where + ": received " + lines.size() + " lines; expected " + expected
                    + ", one per class.");
        }
        return Collections.unmodifiableList(lines);
    }
}
