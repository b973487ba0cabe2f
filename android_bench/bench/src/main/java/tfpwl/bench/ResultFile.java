package tfpwl.bench;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.Charset;

/** A result that is there as a whole or not at all. */
final class ResultFile {
    private final File file;
    private final File partial;

    ResultFile(File file) {
        this.file = file;
        this.partial = new File(file.getPath() + ".partial");
    }

    /**
     * Put an older result out of the way and see that a new one can be written, before minutes are spent on it.
     *
     * @throws OutputException it cannot
     */
    void prepare() {
        try {
            if (file.exists() && !file.delete()) {
                throw new IOException("the older result cannot be deleted");
            }
            new FileOutputStream(partial).close();
        } catch (IOException exc) {
            throw refused(exc);
        }
        partial.delete();
    }

    /**
     * Write the result.
     *
     * @throws OutputException it cannot be written, for example because the storage is full; nothing is left then
     */
    void write(String text) {
        try {
            FileOutputStream stream = new FileOutputStream(partial);
            try {
                stream.write(text.getBytes(Charset.forName("UTF-8")));
                stream.getFD().sync();
            } finally {
                stream.close();
            }
            if (!partial.renameTo(file)) {
                throw new IOException(partial + " cannot be renamed");
            }
        } catch (IOException exc) {
            partial.delete();
            throw refused(exc);
        }
    }

    private OutputException refused(IOException exc) {
        return new OutputException("Cannot write " + file + ": " + exc.getMessage()
                + ". Give --out a file in a folder that exists and has room.", exc);
    }
}
