package tfpwl.example;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import org.junit.jupiter.api.Test;

/** The example of docs/android.md is the class that is compiled here. */
class DocsTest {
    @Test
    void theExampleIsTheClassThatCompiles() throws Exception {
        String source = read(new File("src/test/java/tfpwl/example/DigitsActivity.java"));
        String docs = read(new File(System.getProperty("tfpwl.docs"), "android.md"));
        assertTrue(docs.contains("```java\n" + source + "```\n"), "copy DigitsActivity.java into docs/android.md");
    }

    private static String read(File file) throws Exception {
        return new String(Files.readAllBytes(file.toPath()), "UTF-8");
    }
}
